import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "service"))
sys.path.insert(0, str(Path(__file__).parent))

import browsed
import small_project
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from lockstep.service.app import App

VIOLATIONS = "addEventListener('securitypolicyviolation', (event) => console.error('policy', event.violatedDirective))"
REFUSED = "Failed to load resource: "
WAIT_MS = 10_000


@dataclass
class Watched:
    """What a page asked for, and what its console said."""

    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def listen(self, message: ConsoleMessage) -> None:
        """Keep what is wrong; that an answer was 4xx, 5xx or none is told by the page itself."""
        if message.type in ("error", "warning") and not message.text.startswith(REFUSED):
            self.said.append(message.text)


@pytest.fixture(autouse=True, scope="session")
def store() -> Iterator[None]:
    with small_project.store():
        yield


@pytest.fixture(scope="module")  # Playwright's event loop runs in this thread, where other tests have their own
def browser() -> Iterator[Browser]:
    path = browsed.chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that makes a project: of a problem, or ``hostile``."""
    made: dict[str, Path] = {}

    def root(name: str) -> Path:
        if name not in made:
            problem, family = {"multiclass": ("multiclass", "xgboost")}.get(name, (name, "linear"))
            folder = tmp_path_factory.mktemp(name)
            made[name] = small_project.make(folder, "binary" if name == "hostile" else problem, family)
            if name == "hostile":
                browsed.spoil(folder)
        return made[name]

    return root


@pytest.fixture(scope="session")
def address(roots: Callable[[str], Path]) -> Iterator[Callable[..., str]]:
    """Return a function that says where a project is served, with a token or without."""
    known: dict[tuple[str, bytes | None], str] = {}
    with ExitStack() as stack:

        def serve(name: str = "binary", token: bytes | None = None) -> str:
            if (name, token) not in known:
                app = App()
                known[name, token] = stack.enter_context(browsed.serving(app))
                app.serve(browsed.served(roots(name), run=name == "binary"), token)
            return known[name, token]

        yield serve


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(VIOLATIONS)
    yield context
    context.close()


@pytest.fixture
def watched(context: BrowserContext) -> Watched:
    watched = Watched()
    context.on("request", lambda request: watched.asked.append(request.url))
    context.on("console", watched.listen)
    context.on("weberror", lambda error: watched.said.append(str(error.error)))
    return watched


@pytest.fixture
def page(context: BrowserContext, watched: Watched) -> Iterator[Page]:
    """A page that may ask its own service alone, and whose console must stay empty."""
    page = context.new_page()
    yield page
    own = page.url.split("#")[0]
    assert watched.said == []
    assert [url for url in watched.asked if not url.startswith((own, f"blob:{own}", "data:"))] == []


@pytest.fixture
def opened(page: Page, address: Callable[..., str]) -> Callable[..., Page]:
    """Return a function that opens a project's page and waits for its form."""

    def look(name: str = "binary", scheme: str = "light") -> Page:
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto(address(name))
        page.locator("#work").wait_for()
        return page

    return look

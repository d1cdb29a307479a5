"""Print a contract for people."""

from lockstep.contract.model import Contract


def describe(contract: Contract) -> str:
    """Return the columns, then the rules, as two tables."""
    width = max(len(name) for name in contract.columns) + 2
    lines = [f"{'column':{width}}{'kind':10}{'role':12}{'required':10}description"]
    for name, column in contract.columns.items():
        role = f"{column.role}{'+input' if column.input else ''}"
        required = "yes" if column.required else ""
        lines.append(f"{name:{width}}{column.kind:10}{role:12}{required:10}{column.description}")
    rules = [(rule, ", ".join(rule.columns) or "(table)") for rule in (*contract.row_rules, *contract.table_rules)]
    width = max([len("columns"), *(len(names) for _, names in rules)]) + 2
    lines += ["", f"{'severity':10}{'columns':{width}}rule"]
    for severity in ("critical", "warning", "info"):
        lines += [f"{severity:10}{names:{width}}{rule.name}" for rule, names in rules if rule.severity == severity]
    return "\n".join(line.rstrip() for line in lines)

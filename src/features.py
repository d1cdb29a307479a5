"""The project's own features.

One plain function each: its name is the feature, its arguments are the columns it needs. Arrays in, an array of
numbers out, NaN for missing; each row's value depends on that row alone. A leading underscore hides a helper.
"""

import numpy as np


def charge_per_month(total_charges, tenure_months):
    """What the customer paid in an average month so far."""
    return np.divide(total_charges, tenure_months, out=np.full_like(total_charges, np.nan), where=tenure_months > 0)

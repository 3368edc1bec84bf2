"""What `mfst train` prints of a run."""

from mfst_jax.train.command import describe_tracking


def tracked(**aucs: float) -> dict:
    return {"tracking": {"sequences": aucs}}


def test_the_line_about_tracking_says_where_its_sequences_chose_the_epoch():
    before, best = tracked(a=0.25, b=0.5), tracked(b=0.75, a=0.5)
    line = "held-out success AUC: 0.375 before, 0.625 best, +0.250 (95 % interval +0.250 to +0.250"
    assert describe_tracking(before, best, "before", chosen_by_tracking=False) == f"{line})"
    chosen = describe_tracking(before, best, "before", chosen_by_tracking=True)
    assert chosen == f"{line}, epoch chosen on these sequences)"


def test_the_line_about_tracking_has_no_interval_of_a_single_sequence():
    before, best = tracked(a=0.25), tracked(a=0.5)
    line = "held-out success AUC: 0.250 without SE, 0.500 best, +0.250"
    assert describe_tracking(before, best, "without SE", chosen_by_tracking=False) == line
    chosen = describe_tracking(before, best, "without SE", chosen_by_tracking=True)
    assert chosen == f"{line} (epoch chosen on these sequences)"

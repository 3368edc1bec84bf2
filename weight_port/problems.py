"""`SourceError`: all problems of weights that cannot be converted, gathered."""

from collections.abc import Sequence

from mfst_jax.errors import InputError, one_line

_SHOWN = 40


class SourceError(InputError):
    """Weights that cannot be converted; nothing was written.

    The message names the sources and the problem in one line; several problems follow the names in one line each.

    Attributes:
      problems: The problems, a line each.
    """

    def __init__(self, name: str, problems: Sequence[str]):
        self.problems = tuple(one_line(" ".join(problem.splitlines())) for problem in problems)
        if len(problems) == 1:
            super().__init__(f"{name}: {self.problems[0]}")
            return
        super().__init__()
        lines = [one_line(f"{name}: {len(problems)} problems")]
        lines += [one_line(f"  {problem}") for problem in self.problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"  and {len(problems) - _SHOWN} more")
        self.args = ("\n".join(lines),)

"""Works out how long many videos take on some numbers of hosts, from the rate that one process reaches on one of them.

    python tools/many_hosts.py --rate 33

The rate is what `mfst track-all` prints at its end: frames a second with opening, compiling and writing. Processes
share the videos, and at the end wait for the one that began a video last; so the time lies between that of equally
shared frames and that plus the longest video.
"""

import sys
from collections.abc import Sequence

import tyro


def hours(
    videos: int, frames: int, rate: float, processes: int, longest: int, start: float = 60.0
) -> tuple[float, float]:
    """Least and most hours that the videos take.

    Args:
      videos: number of videos.
      frames: number of frames of each, on average.
      rate: frames a second of a process.
      processes: number of processes on all hosts together.
      longest: number of frames of the longest video.
      start: seconds until a process is at work.
    """
    least = start + videos * frames / (processes * rate)
    return least / 3600, (least + longest / rate) / 3600


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table."""
    return tyro.cli(table, args=arguments, description=__doc__)


def table(
    *,
    rate: float,
    videos: int = 100_000,
    frames: int = 300,
    longest: int = 9000,
    processes: int = 1,
    hosts: tuple[int, ...] = (1, 8, 64),
) -> int:
    """Prints a row for each number of hosts.

    Args:
        rate: Frames a second of one process, with all that goes with it.
        videos: How many videos there are.
        frames: How many frames each has on average.
        longest: How many frames the longest one has.
        processes: How many processes a host runs.
        hosts: Numbers of hosts.
    """
    print(f"| hosts | hours for {videos:,} videos of {frames:,} frames | at most, with one of {longest:,} at the end |")
    print("| --- | --- | --- |")
    for count in hosts:
        least, most = hours(videos, frames, rate, count * processes, longest)
        print(f"| {count} | {least:.1f} | {most:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

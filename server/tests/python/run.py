"""Runs the end-to-end tests: `cargo xtask e2e`, or `python run.py --binary target/debug/amadeus [NAME...]`.

A name is a file, a class or a test (`test_watch`, `test_watch.Filters`). Each test is one line while it runs; the last line
has the form of Rust's own runner, so that one reader counts both.
"""

import argparse
import os
import pathlib
import signal
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(ROOT / "examples" / "python")]

import harness  # noqa: E402  (needs the path above)

# No test may hang the suite: a server that does not answer is a failure, not a long wait.
TEST_SECONDS = 150
LONG_TEST_SECONDS = 1800


class Overdue(Exception):
    """A test ran longer than any test may."""


def overdue(_signal, _frame):
    raise Overdue("the test ran out of its time")


class Outcomes(unittest.TestResult):
    """Prints each test as it ends, and what went wrong where it happened."""

    def __init__(self, seconds):
        super().__init__()
        self.passed = 0
        self.seconds = seconds
        self._started = 0.0

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()
        self._failed = False
        signal.alarm(self.seconds)

    def stopTest(self, test):
        signal.alarm(0)
        super().stopTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        self._say(test, "ok")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._say(test, f"ignored: {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._say(test, "FAILED", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._say(test, "FAILED", self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed = True
            listed = self.failures if issubclass(err[0], test.failureException) else self.errors
            self._say(subtest, "FAILED", listed[-1][1])

    def _say(self, test, outcome, story=""):
        seconds = time.monotonic() - self._started
        print(f"{test.id()} ({seconds:.1f} s) ... {outcome}")
        if story:
            print("    " + story.rstrip().replace("\n", "\n    "))
            print(harness.last_words())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, type=pathlib.Path, help="the `amadeus` to drive")
    parser.add_argument("--long", action="store_true", help="the full sizes and repetitions")
    parser.add_argument("--timed", action="store_true", help="hold time limits too (a release binary)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of everything random")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    harness.configure(options.binary.resolve(), options.long, options.timed, options.seed)
    print(f"binary {options.binary}, seed {options.seed}, {'long' if options.long else 'short'}")

    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(options.names) if options.names else loader.discover(str(HERE))
    signal.signal(signal.SIGALRM, overdue)
    outcomes = Outcomes(LONG_TEST_SECONDS if options.long else TEST_SECONDS)
    started = time.monotonic()
    try:
        suite.run(outcomes)
    finally:
        harness.end_everything()
    failed = len(outcomes.failures) + len(outcomes.errors)
    print(
        f"test result: {'FAILED' if failed else 'ok'}. {outcomes.passed} passed; {failed} failed; "
        f"{len(outcomes.skipped)} ignored; finished in {time.monotonic() - started:.1f}s",
        flush=True,
    )
    # Threads of a failed test may still wait for a server that is gone.
    os._exit(1 if failed else 0)


if __name__ == "__main__":
    main()

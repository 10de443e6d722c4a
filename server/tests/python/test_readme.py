"""The README's tour, command by command: what is printed there works."""

import pathlib
import re
import subprocess

import harness
from harness import BOUTIQUE, ROOT, SharedServerTest

REFUSED = "# refused"


class Tour(SharedServerTest):
    arguments = ("--load", str(BOUTIQUE))

    def test_every_command_of_the_tour_does_what_it_says(self):
        readme = (ROOT / "README.md").read_text()
        tour = readme[readme.index("## A five-minute tour") : readme.index("## What it promises")]
        blocks = re.findall(r"```sh\n(.*?)```", tour, re.DOTALL)
        for name, text in re.findall(r"cat > (\S+) <<'END'\n(.*?\n)END\n", tour, re.DOTALL):
            (pathlib.Path(self.server.folder) / name).write_text(text)
        commands = [line for block in blocks for line in block.splitlines() if line.startswith("amadeus ")]
        self.assertGreater(len(commands), 15)
        for command in commands:
            with self.subTest(command=command):
                done = subprocess.run(
                    ["bash", "-c", f'amadeus() {{ "{harness.BINARY}" "$@"; }}; {command}'],
                    cwd=self.server.folder,
                    env={"AMADEUS_ADDR": f"http://{self.server.address}", "PATH": "/usr/bin:/bin"},
                    capture_output=True,
                    text=True,
                    timeout=60,
                )
                if REFUSED in command:
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn("checkout", done.stderr)
                else:
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertTrue(done.stdout or "-f" in command or " set " in command, "it printed nothing")

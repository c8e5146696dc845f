"""Runs a command-line client on a terminal: `terminal.py PROGRAM ARGUMENT…`, its input on stdin.

Each line goes to the client when it prompts for one, so that what is printed does not depend on
timing; a backslash stands for the key that completes a word. The client is to prompt with `ready> `.
What the terminal shows goes to stdout, without colours and times.
"""

import os
import pty
import re
import select
import sys
import termios
import time

PROMPT = b"ready> "
LIMIT_SECONDS = 30


def read_to_prompt(terminal):
    """What is printed up to the next prompt, or to the end."""
    printed = b""
    while not printed.endswith(PROMPT):
        readable, _, _ = select.select([terminal], [], [], LIMIT_SECONDS)
        if not readable:
            sys.exit(f"no prompt within {LIMIT_SECONDS} s behind {printed!r}")
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # The client has ended.
            break
        if not piece:
            break
        printed += piece
    return printed


def wait_until_edited(terminal):
    """Waits until the client reads key by key; before, the terminal itself shows what is typed."""
    end = time.monotonic() + LIMIT_SECONDS
    while termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO):
        if time.monotonic() > end:
            sys.exit("the client does not read key by key")
        time.sleep(0.001)


def main():
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "dumb"
        os.execvp(sys.argv[1], sys.argv[1:])
    printed = read_to_prompt(terminal)
    for line in sys.stdin:
        wait_until_edited(terminal)
        os.write(terminal, line.replace("\\", "\t").encode())
        printed += read_to_prompt(terminal)
    read_to_prompt(terminal)
    _, status = os.waitpid(child, 0)
    text = printed.decode().replace("\r", "")
    text = re.sub(r"\x1b\[[0-9?;]*[a-zA-Z]", "", text)
    sys.stdout.write(re.sub(r"\(\d+\.\d+ sec\)", "(time)", text))
    sys.exit(os.waitstatus_to_exitcode(status))


main()

"""A page of a clone, visited where loopback is the only network: `unshare --map-root-user --net python alone.py CLONE
LOG`. Prints each category of the samples once it was compared."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from pathlib import Path

import pages
from playwright.sync_api import sync_playwright

from lab.data import samples

SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # linux/sockios.h, linux/if.h
METHODS = "patchcore,padim"


def loopback() -> None:
    """Brings it up, and proves that nothing else can be reached."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    with socket.socket() as outside:
        try:
            outside.connect(("192.0.2.1", 443))  # an address for documentation, RFC 5737
        except OSError as error:
            assert "unreachable" in str(error), error
        else:
            raise AssertionError("this is not a network of its own")


def main(clone: Path, log: Path) -> None:
    loopback()
    with pages.served(clone, log) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=pages.CHROMIUM, args=pages.ARGS)
        pages.Visit(browser, address).finished(2)  # the first view, with nothing chosen
        for category in samples.CATEGORIES:
            visit = pages.Visit(browser, f"{address}?set=samples&category={category}&methods={METHODS}")
            visit.finished(2)
            assert category in visit.page.locator(".source").inner_text()
            maps = visit.maps()
            assert list(maps) == METHODS.split(",") and len(set(maps.values())) == 2
            assert not visit.complaints, visit.complaints
            visit.page.close()
            print(category, flush=True)
        browser.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

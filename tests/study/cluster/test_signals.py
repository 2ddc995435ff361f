"""Ctrl-C is kept back where it would do harm, and is not lost."""

import os
import signal

import pytest

from study.cluster.signals import HeldCtrlC, ended_like_by_ctrl_c


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_is_kept_back_said_once_and_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    held = HeldCtrlC("stopping soon")
    press_ctrl_c()
    press_ctrl_c()
    assert held.release()
    assert not held.release()
    assert capfd.readouterr().err.count("stopping soon") == 1


def test_ctrl_c_that_did_not_come_is_not_told() -> None:
    assert not HeldCtrlC("stopping soon").release()


def test_ctrl_c_interrupts_again_after_the_release() -> None:
    HeldCtrlC("stopping soon").release()
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


def test_sigterm_interrupts_like_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), ended_like_by_ctrl_c():
        os.kill(os.getpid(), signal.SIGTERM)

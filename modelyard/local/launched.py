"""One launch of this machine: its files, what the fork server is told, what became of it."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelyard.contract import LaunchKey, Variable
from modelyard.executor import Evidence, Job, JobPhase, LaunchRequest
from modelyard.local import gpus
from modelyard.local.link import ONE_THREAD
from modelyard.local.protocol import Launch
from modelyard.settings import Paths
from modelyard.trial.termination import LIMIT_BYTES


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where a launch writes.

    Args:
        scratch: its working folder, gone once it is cleaned.
        log: its output; stays.
    """

    scratch: Path
    log: Path

    @classmethod
    def of(cls, key: LaunchKey, paths: Paths) -> Files:
        """The files of a launch under a home folder."""
        return cls(scratch=paths.scratch / str(key), log=paths.log(f"trials/{key}"))

    @property
    def termination(self) -> Path:
        """Where the program leaves its last message."""
        return self.scratch / "termination"

    def make_folders(self) -> None:
        """Make what must be there before the launch.

        Raises:
            OSError: a folder can't be made.
        """
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)


@dataclass(kw_only=True)
class Launched:
    """One launch, as the executor keeps it.

    Args:
        order: what the fork server is told.
        files: where it writes.
        devices: its GPUs.
        job: as it is now.
        sent: the fork server was told.
        process: pid, None until it runs.
        ended: set once ``job`` is over.
    """

    order: Launch
    files: Files
    devices: tuple[str, ...]
    job: Job
    sent: bool = False
    process: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def running(self) -> bool:
        """Whether the fork server has it, as far as is known."""
        return self.sent and not self.ended.is_set()

    def become(self, phase: JobPhase, evidence: Evidence) -> Job:
        """Take on a new state; an end gets what the launch left in its files."""
        evidence = replace(evidence, host=self.job.evidence.host)
        if phase in (JobPhase.SUCCEEDED, JobPhase.FAILED):
            evidence = replace(
                evidence, termination=tail(self.files.termination), log_tail=tail(self.files.log)
            )
            self.ended.set()
        self.job = replace(self.job, phase=phase, evidence=evidence)
        return self.job


def accept(
    request: LaunchRequest, paths: Paths, machine: tuple[str, ...], devices: tuple[str, ...]
) -> Launched:
    """A launch that is to start.

    Args:
        request: what was asked for.
        paths: where its files lie.
        machine: all GPUs; without any, ``CUDA_VISIBLE_DEVICES`` is left alone.
        devices: those it may use.

    Raises:
        ValueError: its spec is too long.
    """
    spec, needs = request.spec, request.resources
    files = Files.of(spec.key, paths)
    environment = {
        **dict.fromkeys(ONE_THREAD, str(needs.threads)),
        **({gpus.VISIBLE: ",".join(devices)} if machine else {}),
        **request.environment,
        Variable.SPEC.value: spec.to_json(),
        Variable.SCRATCH.value: str(files.scratch),
        Variable.TERMINATION.value: str(files.termination),
    }
    return Launched(
        order=Launch(
            name=str(spec.key),
            environment=environment,
            scratch=str(files.scratch),
            log=str(files.log),
            # Nodes are processes of one launch here; on a cluster each is allowed as much.
            memory_bytes=needs.memory_bytes and needs.memory_bytes * needs.nodes,
        ),
        files=files,
        devices=devices,
        job=Job(
            key=spec.key,
            spec_digest=spec.digest,
            phase=JobPhase.WAITING,
            evidence=Evidence(reason="ForkServerStarting", host=socket.gethostname()),
        ),
    )


def tail(path: Path, *, after: int = 0) -> str:
    """The last 4 KiB of a file as text; empty when there is none.

    Args:
        path: of the file.
        after: byte before which nothing is of interest.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(after, file.seek(0, os.SEEK_END) - LIMIT_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""

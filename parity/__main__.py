"""The command: reads flags, runs engines one after the other, compares, shows.

Exit codes: 0 where engines may be switched, 1 where not, 2 where it could not be found out.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx2
from tqdm import tqdm

from benchmarks.servers.base import ServerUnavailable
from parity.asking import ask, count
from parity.attribution import (
    Attribution,
    AttributionUnavailable,
    attribute,
    exact_subjects,
)
from parity.comparison import compare
from parity.findings import Verdict, answer
from parity.parts import OF_CHAT_MODELS, Part
from parity.report import Report, table, write_page
from parity.subjects import Subject, running
from parity.transcript import Size, Transcript, TranscriptError, load, save

ROOT = Path(__file__).resolve().parents[1]
_DEFAULT_OUT = ROOT / ".cache" / "parity"
_SHIPPED = ROOT / "models" / "jarvis-tiny.gguf"
_ENGINES = ("llama_cpp", "vllm")
_UNKNOWN = 2


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    known = parser()
    flags = known.parse_args(arguments)
    if len(flags.embedding_model or ()) > len(_ENGINES):
        known.error("--embedding-model takes one model, or one for each engine")
    try:
        return _compared(flags) if flags.engine is None else _transcribed(flags)
    except (TranscriptError, ServerUnavailable, httpx2.HTTPError) as error:
        print(f"parity: {error}", file=sys.stderr)
        return _UNKNOWN
    except KeyboardInterrupt:
        print("parity: interrupted", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(
        prog="./run.sh parity",
        description="Asks both engines the same, one engine after the other, and says whether one"
        " may stand in for the other: a table, and a page beside the transcripts.",
        epilog="On two machines: --engine llama_cpp on the one, --engine vllm on the other, then"
        " --compare with both files.",
        allow_abbrev=False,
    )
    flags.add_argument("--model", default=str(_SHIPPED), help="a GGUF file, a folder, or a hub id")
    flags.add_argument(
        "--embedding-model",
        nargs="+",
        metavar="MODEL",
        help="served beside the other: one for both engines, or llama.cpp's file and vLLM's folder",
    )
    flags.add_argument("--prompts", type=_positive, default=100, help="prompts a kind (100)")
    flags.add_argument("--tokens", type=_positive, default=64, help="tokens an answer (64)")
    flags.add_argument("--out", type=Path, default=_DEFAULT_OUT, help="for transcripts and page")
    flags.add_argument("--engine", choices=_ENGINES, help="ask one engine, compare nothing")
    flags.add_argument(
        "--compare", nargs=2, type=Path, metavar="FILE", help="two transcripts; starts no engine"
    )
    flags.add_argument(
        "--no-attribution", action="store_true", help="don't run the engines in float32 too"
    )
    return flags


def _compared(flags: argparse.Namespace) -> int:
    if flags.compare is not None:
        left, right = (load(path) for path in flags.compare)
    else:
        left, right = (_transcript(flags, _subject(flags, e), _parts(flags)) for e in _ENGINES)
    findings = tuple(compare(left, right))
    attribution, note = _attribution(flags, left, right, max(f.verdict for f in findings))
    report = Report(left, right, findings, answer(findings), attribution, note)
    print(table(report))
    page = flags.out / "parity.html"
    write_page(report, page)
    print(page)
    return 0 if report.answer.may_switch else 1


def _transcribed(flags: argparse.Namespace) -> int:
    _transcript(flags, _subject(flags, flags.engine), _parts(flags))
    return 0


def _parts(flags: argparse.Namespace) -> set[Part]:
    return set(OF_CHAT_MODELS if flags.embedding_model is None else Part)


def _subject(flags: argparse.Namespace, engine: str) -> Subject:
    """Of two embedding models, the first is llama.cpp's."""
    given: list[str] | None = flags.embedding_model
    embedding = None
    if given is not None:
        embedding = given[0] if engine == _ENGINES[0] else given[-1]
    return Subject(engine, engine, flags.model, embedding_model=embedding)


def _attribution(
    flags: argparse.Namespace, left: Transcript, right: Transcript, worst: Verdict
) -> tuple[Attribution | None, str]:
    """Where something differs by more than rounding, and can be measured here."""
    if worst <= Verdict.ROUNDING or flags.no_attribution or flags.compare is not None:
        return None, ""
    model = Path(flags.model)
    if not model.is_file():
        return None, "what number formats do was not measured: that needs a GGUF file"
    try:
        subjects = exact_subjects(model, flags.out)
        exact = [_transcript(flags, subject, {Part.SCORES}) for subject in subjects]
    except (AttributionUnavailable, ServerUnavailable) as error:
        return None, f"what number formats do was not measured: {error}"
    finally:
        (flags.out / f"{model.stem}.f32.gguf").unlink(missing_ok=True)
    return attribute((left, right), (exact[0], exact[1])), ""


def _transcript(flags: argparse.Namespace, subject: Subject, parts: set[Part]) -> Transcript:
    size = Size(flags.prompts, flags.tokens)
    name = subject.label.replace(" ", "-")
    total = count(size, parts)
    with (
        tqdm(total=total, desc=f"starting {subject.label}", unit="request") as bar,
        running(subject, flags.out / f"{name}.log") as url,
    ):
        bar.set_description(subject.label)
        asked = ask(url, subject.label, size, parts, lambda: bar.update() and None)
        transcript = asyncio.run(asked)
    save(transcript, flags.out / f"{name}.json")
    return transcript


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

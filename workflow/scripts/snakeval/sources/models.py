"""Bring a model and its tokenizer here, and check that an engine could load them."""

from __future__ import annotations

import fnmatch
import glob
import json
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from snakeval.errors import SnakevalError, SourceError, StorageError
from snakeval.records import write_json
from snakeval.sources import endpoints, gguf, hub, packages
from snakeval.sources.unavailable import Unavailable, label, portable, short

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tekken.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "*.tiktoken",
)
SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "additional_chat_templates/*")
TRAINING_FILES = ("training_args.bin", "optimizer*", "scheduler*", "rng_state*", "trainer_state*")
# What the makers of some models ship a second time in a format of their own.
TWINS = ("consolidated*", "params.json", "tekken.json", "tokenizer.model.v*")


class Fetched(NamedTuple):
    """A folder with a model or a tokenizer. `commit` is None for a path of the user's own."""

    folder: Path
    commit: str | None
    licence: str | None


def fetch(slug: str, entry: dict[str, Any], status_path: Path) -> bool:
    """Bring a model here and write its status.

    Args:
        slug: name of the model in the registry.
        entry: its registry entry.
        status_path: where the status goes; a converted model lies in the folder beside it.

    Returns:
        Whether it worked. If not, the status file and stderr hold the reason.

    Raises:
        StorageError: the status cannot be written.
    """
    place = status_path.with_suffix("")
    return recorded(slug, entry, status_path, lambda: _fetch(slug, entry, place))


def recorded(
    slug: str, entry: dict[str, Any], status_path: Path, bring: Callable[[], dict[str, Any]]
) -> bool:
    """Write the status that `bring` returns, or why it could not; else as `fetch`."""
    try:
        status = bring()
    except SnakevalError as error:
        fix = error.fix
        if isinstance(error, Unavailable) and entry.get("gated") and entry.get("card"):
            fix += f" Its maker gates the weights: the licence is accepted at {entry['card']}"
        reason = SourceError(f"model {slug}", f"{error.got} ({error.where})", error.expected, fix)
        facts = ("path", "tokenizer_path", "commit", "files", "bytes", "licence")
        status = {"status": "failed", "reason": str(reason), **dict.fromkeys(facts)}
        print(f"error: {status['reason']}", file=sys.stderr)
    write_json(status_path, status)
    return status["reason"] is None


def _fetch(slug: str, entry: dict[str, Any], place: Path) -> dict[str, Any]:
    arguments = entry.get("engine_arguments") or {}
    dummy = arguments.get("load_format") == "dummy"
    code = bool(arguments.get("trust_remote_code"))
    own = entry.get("tokenizer") is None
    if entry.get("endpoint"):
        return _served(entry, place, code)
    model = _bring(entry["source"], place, weights=not dummy, tokenizer=own, code=code)
    check_folder(model.folder, weights=not dummy, tokenizer=own)
    return had(slug, entry, model, _tokenizer(entry, place, code, model))


def had(slug: str, entry: dict[str, Any], model: Fetched, tokenizer: Fetched) -> dict[str, Any]:
    """Return the status of a model whose files are here."""
    files = _listing(model.folder)
    size = sum(files.values())
    print(f"model {slug}: {len(files)} files, {size / 1e9:.2f} GB", file=sys.stderr)
    return {
        "status": "ok",
        "reason": None,
        "path": portable(model.folder),
        "tokenizer_path": portable(tokenizer.folder),
        "commit": model.commit,
        "files": list(files),
        "bytes": size,
        "licence": model.licence or entry.get("licence"),
    }


def _served(entry: dict[str, Any], place: Path, code: bool) -> dict[str, Any]:
    """Return the status of a model that a server holds, after asking it; what it holds nobody here knows."""
    endpoints.check(entry["endpoint"])
    tokenizer = _tokenizer(entry, place, code, None) if entry.get("tokenizer") else None
    return {
        "status": "ok",
        "reason": None,
        "path": None,
        "tokenizer_path": portable(tokenizer.folder) if tokenizer else None,
        "commit": None,
        "files": [],
        "bytes": None,
        "licence": entry.get("licence"),
    }


def _tokenizer(entry: dict[str, Any], place: Path, code: bool, model: Fetched | None) -> Fetched:
    """Bring a model's tokenizer here, where it is not the model's own."""
    tokenizer = model
    if tokenizer is None or entry.get("tokenizer"):
        second = place.with_name(f"{place.name}-tokenizer")
        tokenizer = _bring(entry["tokenizer"], second, weights=False, tokenizer=True, code=code)
        check_folder(tokenizer.folder, config=False, weights=False)
    if entry.get("tokenizer_class"):
        copy = place.with_name(f"{place.name}-retyped")
        _retype(tokenizer.folder, copy, entry["tokenizer_class"])
        tokenizer = tokenizer._replace(folder=copy)
    return tokenizer


def _retype(folder: Path, copy: Path, tokenizer_class: str) -> None:
    """Make a copy of a tokenizer that says it is of another class."""
    copy_small_files(folder, copy)
    config = folder / "tokenizer_config.json"
    said = _read_object(config) if config.exists() else {}
    write_json(copy / config.name, said | {"tokenizer_class": tokenizer_class})


def copy_small_files(folder: Path, copy: Path) -> None:
    """Copy what a model folder holds besides weights, among it the tokenizer."""
    wanted = [
        path
        for path in sorted(folder.iterdir())
        if _matches(path.name, (*TOKENIZER_FILES, *SMALL_FILES))
        and not path.name.endswith(".index.json")
    ]
    try:
        copy.mkdir(parents=True, exist_ok=True)
        for path in wanted:
            shutil.copyfile(path, copy / path.name)
    except OSError as error:
        raise StorageError.from_os_error(error, copy) from error


def _listing(folder: Path) -> dict[str, int]:
    """Return the sizes in bytes of a folder's files, by name in name order."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(files)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def _bring(
    source: dict[str, Any], place: Path, *, weights: bool, tokenizer: bool, code: bool
) -> Fetched:
    if "path" in source:
        folder = Path(source["path"]).expanduser()
        if folder.is_dir():
            return Fetched(folder, None, None)
        if not folder.is_file():
            raise Unavailable(label(source), "no such folder", "a model folder", "Mend the path.")
        return Fetched(_plain(folder, place, source, weights, tokenizer), None, None)
    if "package" in source:
        file = packages.locate(source)
        return Fetched(_plain(file, place, source, weights, tokenizer), source["package"], None)
    return _hub(source, weights=weights, tokenizer=tokenizer, code=code)


def _plain(file: Path, place: Path, source: dict[str, Any], weights: bool, tokenizer: bool) -> Path:
    if file.suffix != ".gguf":
        raise SourceError(
            label(source),
            f"a file {file.name}",
            "a .gguf file or a model folder",
            "Give the folder that holds config.json.",
        )
    gguf.convert(file, place, weights=weights, tokenizer=tokenizer)
    return place


def _hub(source: dict[str, Any], *, weights: bool, tokenizer: bool, code: bool) -> Fetched:
    """Download a snapshot into the hub's own cache, or find it there where no hub is in reach.

    Access and space are checked before the first byte. A download that was cut goes on where it
    stopped as long as this process lives; files that are whole are never fetched again.
    """
    from huggingface_hub import snapshot_download

    repo, revision = str(source["hub"]), source.get("revision")
    try:
        info = hub.info(repo, "model", revision)
    except Unavailable as reason:
        return _cached(repo, revision, reason, weights=weights, tokenizer=tokenizer)
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
    chosen = choose(sizes, weights=weights, code=code)
    if not chosen:
        raise SourceError(
            f"hub {repo}", "no model file", "config.json and weights", "Choose another repository."
        )
    largest = max(chosen, key=lambda name: sizes[name])
    hub.check_access(repo, "model", info.sha, largest)
    _check_space(repo, info.sha, {name: sizes[name] for name in chosen})
    total = sum(sizes[name] for name in chosen) / 1e9
    print(f"{repo} at {info.sha}: {len(chosen)} files, {total:.2f} GB", file=sys.stderr)
    try:
        folder = hub.patiently(  # by the name asked for, which the cache then knows as well
            lambda: snapshot_download(
                repo, revision=revision, allow_patterns=[glob.escape(name) for name in chosen]
            ),
            repo,
        )
    except Exception as error:
        failure = hub.explain(error, repo, "model", revision)
        if hub.is_unknown(failure):
            traceback.print_exception(error)
        raise failure from error
    return Fetched(Path(folder), Path(folder).name, licence(info))


def _cached(
    repo: str, revision: str | None, reason: Unavailable, *, weights: bool, tokenizer: bool
) -> Fetched:
    """Take a snapshot that an earlier run brought here.

    Raises:
        Unavailable: it is not here, or not whole; `reason` says why it cannot be fetched.
    """
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model"):
        found = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(found, str):
            folder = Path(found).parent
            break
    else:
        raise reason
    try:
        check_folder(folder, config=weights, weights=weights, tokenizer=tokenizer)
    except SourceError as error:
        raise reason from error
    print(f"{repo}: {folder.name} taken from the cache ({reason.got})", file=sys.stderr)
    return Fetched(folder, folder.name, None)


def licence(info: Any) -> str | None:
    """Return the licence that a repository's card names; None where it names none."""
    card = info.card_data
    if card is None:
        return None
    said = getattr(card, "license", None)
    name = getattr(card, "license_name", None)
    return short(name if said == "other" and name else said) if said else None


def choose(names: Iterable[str], *, weights: bool = True, code: bool = False) -> list[str]:
    """Choose what an engine needs of a repository's files.

    Weights are taken once: safetensors if there are any, else .bin; no GGUF, ONNX, TensorFlow or
    training state, and no second copy in the maker's own format.

    Args:
        names: all file names, with `/` between folders.
        weights: also take weights.
        code: also take Python files.
    """
    names = sorted(names)
    root = [name for name in names if "/" not in name]
    tensors = [name for name in root if name.endswith(".safetensors")]
    usual = [name for name in tensors if not _matches(name, TWINS)]
    small = [
        name
        for name in names
        if any(fnmatch.fnmatch(name, pattern) for pattern in SMALL_FILES)
        and name.count("/") == name.startswith("additional_chat_templates/")
        and not _matches(name, TRAINING_FILES)
    ]
    if "tokenizer.json" in root and (usual or not tensors):
        small = [name for name in small if not _matches(name, TWINS)]
    chosen = small + [name for name in root if code and name.endswith(".py")]
    if weights:
        pickles = [name for name in root if name.endswith((".bin", ".pt", ".pth"))]
        pickles = [name for name in pickles if not _matches(name, TRAINING_FILES)]
        chosen += usual or tensors or pickles
    else:
        chosen = [name for name in chosen if not name.endswith(".index.json")]
    return sorted(set(chosen))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(PurePosixPath(name).name, pattern) for pattern in patterns)


def _check_space(repo: str, commit: str, sizes: dict[str, int]) -> None:
    """Compare what is still to be downloaded with what is free.

    Raises:
        SourceError: it does not fit; names both.
    """
    needed = still_needed(repo, commit, sizes)
    folder, free = free_space()
    if needed > free:
        raise SourceError(
            f"hub {repo}",
            f"{free / 1e9:.1f} GB free for {folder}",
            f"{needed / 1e9:.1f} GB for its files",
            "Free space there, or set HF_HOME to a folder on a larger disk.",
        )


def still_needed(repo: str, commit: str, sizes: dict[str, int], kind: hub.Kind = "model") -> int:
    """Return the bytes of those files of a repository that are not in the cache."""
    from huggingface_hub import try_to_load_from_cache

    return sum(
        size
        for name, size in sizes.items()
        if not isinstance(try_to_load_from_cache(repo, name, revision=commit, repo_type=kind), str)
    )


def free_space() -> tuple[Path, int]:
    """Return the hub's cache folder and the bytes that are free for it."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE).expanduser().absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return folder, shutil.disk_usage(existing).free


def check_folder(
    folder: Path, *, config: bool = True, weights: bool = True, tokenizer: bool = True
) -> None:
    """Check that a model folder holds what an engine needs.

    Args:
        folder: the model folder.
        config: ask for a readable config.json.
        weights: ask for weights, and for every shard that their index names.
        tokenizer: ask for a tokenizer.

    Raises:
        SourceError: something is missing; names what.
    """
    name = portable(folder)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if config:
        if "config.json" not in names:
            raise SourceError(
                name, "a model folder without config.json", "config.json", "Complete the folder."
            )
        _read_object(folder / "config.json")
    if tokenizer and not any(_matches(file, TOKENIZER_FILES) for file in names):
        raise SourceError(
            name,
            "a model folder without a tokenizer",
            "tokenizer.json, tokenizer.model or vocab.json",
            "Add the tokenizer's files, or give the model a `tokenizer` source in the registry.",
        )
    if weights:
        _check_weights(folder, name, names)


def _check_weights(folder: Path, name: str, names: set[str]) -> None:
    missing: set[str] = set()
    for index in sorted(file for file in names if file.endswith(".index.json")):
        if index.endswith(".bin.index.json") and any(n.endswith(".safetensors") for n in names):
            continue  # the index of a copy that was not taken
        shards = _read_object(folder / index).get("weight_map")
        missing |= set(map(str, shards.values() if isinstance(shards, dict) else ())) - names
    if missing:
        raise SourceError(
            name,
            f"no {short(', '.join(sorted(missing)))}",
            "every shard that the index names",
            "Complete the folder.",
        )
    if not any(
        file.endswith((".safetensors", ".bin", ".pt", ".pth"))
        and not _matches(file, TRAINING_FILES)
        for file in names
    ):
        raise SourceError(
            name,
            "a model folder without weights",
            "*.safetensors or *.bin",
            "Complete the folder, or set engine_arguments.load_format to dummy.",
        )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error
    except (ValueError, RecursionError) as error:
        raise SourceError(
            portable(path), short(str(error)), "a JSON object", "Restore the file."
        ) from error
    if not isinstance(value, dict):
        raise SourceError(portable(path), short(value), "a JSON object", "Restore the file.")
    return value

"""Makes a release out of binaries that are built: what a person deploys with sam alone.

usage: package.py DIRECTORY ARCHITECTURE=BINARIES... [SBOM...]

    package.py dist arm64=target/arm64 x86_64=target/lambda

BINARIES is the directory with <function>/bootstrap for an architecture. Into DIRECTORY, which is
made anew, go a zip of each function for each architecture, the templates, the guides, and the lists
of components (SBOM). sam uploads the zip that a template names and knows no condition on it, so
each architecture has templates of its own: those of the first stand where they do in the checkout,
those of another in a directory of the architecture's name. function-standalone.yaml, which names
its zip in S3, is for all of them. Last come SHA256SUMS, and an archive of it all. The same files
make the same bytes.
"""

import gzip
import hashlib
import io
import re
import shutil
import sys
import tarfile
import zipfile
from os.path import normpath, relpath
from pathlib import Path

from standalone import standalone

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ["failover-sync", "flush-hosts"]
# The machine in the header of an ELF file.
MACHINES = {"x86_64": 62, "arm64": 183}
# The minor version of what Amazon Linux 2023 has, 2.34.
GLIBC = 34
# What refers to a zip, itself or by what it nests.
TEMPLATES = [
    "template.yaml",
    "infra/database.yaml",
    "infra/function.yaml",
    "infra/flush-hosts.yaml",
]
PROGRAMS = [
    f"infra/{name}.py"
    for name in [
        *("accept", "check_peering", "configure", "preflight", "ticket"),
        # What they are made of.
        *("configuration/*", "preflight_checks/*", "rds_endpoint", "read_only"),
    ]
]
GUIDES = [
    f"{directory}*.{kind}"
    for directory in ["", "functions/", "infra/", "tests/"]
    for kind in ["md", "svg"]
]
MODULE = ["infra/terraform/*.md", "infra/terraform/**/*.tf"]
SHIPPED = [
    *("LICENSE", "samconfig.toml", "infra/*.yaml", "infra/*.sql"),
    *(*PROGRAMS, *GUIDES, *MODULE),
]


def main(directory, architectures, sboms):
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', manifest, re.MULTILINE)[1]
    if directory.exists() and any(directory.iterdir()) and not (directory / "SHA256SUMS").exists():
        sys.exit(
            f"{directory} holds something else than a release: give another directory, or remove it"
        )
    shutil.rmtree(directory, ignore_errors=True)
    for source in [source for pattern in SHIPPED for source in ROOT.glob(pattern)]:
        put(directory / source.relative_to(ROOT), source.read_bytes())
    for number, (architecture, binaries) in enumerate(architectures.items()):
        for function in FUNCTIONS:
            binary = read_binary(binaries / function / "bootstrap", architecture)
            put(directory / f"{function}-{architecture}.zip", zipped(binary))
        place = Path(architecture if number else ".")
        for name in TEMPLATES:
            put(directory / place / name, packaged(name, place, architecture).encode())
    put(directory / "function-standalone.yaml", standalone().encode())
    for sbom in sboms:
        put(directory / sbom.name, sbom.read_bytes())
    files = sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    sums = [(hashlib.sha256((directory / name).read_bytes()).hexdigest(), name) for name in files]
    put(directory / "SHA256SUMS", "".join(f"{digest}  {name}\n" for digest, name in sums).encode())
    name = f"failover-sync-{version}"
    put(directory / f"{name}.tar.gz", archived(directory, [*files, "SHA256SUMS"], name))
    processors = " and ".join(architectures)
    print(f"{directory}: version {version} for {processors}, and all of it in {name}.tar.gz")


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def read_binary(path, architecture):
    if not path.exists():
        sys.exit(f"{path} is missing: build the function for {architecture} first")
    binary = path.read_bytes()
    machine = int.from_bytes(binary[18:20], "little")
    if binary[:4] != b"\x7fELF" or machine != MACHINES[architecture]:
        sys.exit(f"{path} is no program for {architecture}")
    needed = max(int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", binary))
    if needed > GLIBC:
        sys.exit(
            f"{path} needs glibc 2.{needed}, and Lambda has 2.{GLIBC}: is Zig still the linker?"
        )
    return binary


def zipped(binary):
    """As Lambda wants it: one program, `bootstrap`, with the earliest time that a zip can hold."""
    entry = zipfile.ZipInfo("bootstrap", (1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(entry, binary, compresslevel=9)
    return content.getvalue()


def packaged(name, place, architecture):
    """A template as it stands in the release at `place`: its function is a zip and not built."""
    here = Path(name).parent

    def refer(match):
        target = normpath(here / match[2])
        if target.startswith("functions/"):
            target = f"{Path(target).name}-{architecture}.zip"
        elif target in TEMPLATES:
            target = place / target
        return match[1] + relpath(target, place / here)

    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"((?:Code|TemplateURL|LicenseUrl|ReadmeUrl): )(\S+)", refer, text)
    text = re.sub(r"\n    Metadata:\n      BuildMethod: .*\n      BuildProperties: .*", "", text)
    # Another processor needs another zip, so it must not be a matter of an answer.
    one = f"""
    Type: String
    Description: Processor of the function, for which the zip beside this template is.
    AllowedValues: [{architecture}]
    Default: {architecture}"""
    return re.sub(r"(\n  Architecture:)(\n    .*)+", rf"\1{one}", text)


def archived(directory, names, top):
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in names:
            file = (directory / name).read_bytes()
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(file)
            archive.addfile(entry, io.BytesIO(file))
    return content.getvalue()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    binaries = dict(argument.split("=", 1) for argument in sys.argv[2:] if "=" in argument)
    if not binaries or not binaries.keys() <= MACHINES.keys():
        sys.exit(f"give one of {', '.join(MACHINES)} and where its programs are\n\n{__doc__}")
    main(
        Path(sys.argv[1]),
        {architecture: Path(path) for architecture, path in binaries.items()},
        [Path(argument) for argument in sys.argv[2:] if "=" not in argument],
    )

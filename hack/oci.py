#!/usr/bin/env python3
"""Packs one static binary as an OCI image archive, with the list of what it is made of.

Called by hack/image. Nothing in the archive depends on the time or on this machine: so the layer is not compressed, as
what comes of that depends on the compressor. A registry's client does it on the way.
"""

import argparse
import datetime
import hashlib
import io
import json
import pathlib
import struct
import sys
import tarfile

USER = 65532
TITLE = "Castoff"
DESCRIPTION = "Holds back the delete of an important Kubernetes pod until its backend is ready for it to leave"
ARCHITECTURES = {0x3E: "amd64", 0xB7: "arm64"}


def architecture(binary):
    """What the binary runs on. Fails on one that needs a loader: there is none in the image."""
    if binary[:4] != b"\x7fELF" or binary[4] != 2:
        raise ValueError("the binary is no 64-bit ELF file")
    machine = struct.unpack_from("<H", binary, 18)[0]
    headers, size, count = (
        struct.unpack_from("<Q", binary, 32)[0],
        struct.unpack_from("<H", binary, 54)[0],
        struct.unpack_from("<H", binary, 56)[0],
    )
    kinds = [struct.unpack_from("<I", binary, headers + number * size)[0] for number in range(count)]
    if 3 in kinds:  # PT_INTERP
        raise ValueError("the binary is not static: it names a loader, and the image has none")
    return ARCHITECTURES[machine]


def bill_of_materials(metadata, version, created):
    """What the binary is made of, as SPDX 2.3: the crates that cargo resolves for it, without those of tests."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    found, waiting = set(), [root]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        for dependency in nodes[one]["deps"]:
            # kind null is what is linked in; others are built with or tested with.
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])

    def entry(package):
        locator = f"pkg:cargo/{package['name']}@{package['version']}"
        return {
            "SPDXID": f"SPDXRef-{package['name']}-{package['version'].replace('+', '-')}",
            "name": package["name"],
            "versionInfo": package["version"],
            "licenseDeclared": (package["license"] or "NOASSERTION").replace("/", " OR "),
            "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "downloadLocation": "NOASSERTION",
            "externalRefs": [
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}
            ],
        }

    entries = sorted((entry(packages[one]) for one in found), key=lambda one: one["SPDXID"])
    described = entry(packages[root])["SPDXID"]
    relationships = [
        {"spdxElementId": described, "relationshipType": "CONTAINS", "relatedSpdxElement": one["SPDXID"]}
        for one in entries
        if one["SPDXID"] != described
    ]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"castoff-{version}",
        "documentNamespace": f"https://castoff.dev/spdx/castoff-{version}",
        "creationInfo": {"created": created, "creators": ["Tool: hack/image"]},
        "packages": entries,
        "documentDescribes": [described],
        "relationships": relationships,
    }


def pack(files):
    """A tar of (name, bytes, mode), all of one owner and of no time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content, mode in files:
            header = tarfile.TarInfo(name)
            header.size, header.mode, header.mtime = len(content), mode, 0
            archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def as_json(value):
    """The same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest(content):
    """As OCI names content."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def image(options, binary, bill):
    """The files of the archive, and the image's digest."""
    labels = {
        "org.opencontainers.image.title": TITLE,
        "org.opencontainers.image.description": DESCRIPTION,
        "org.opencontainers.image.version": options.version,
        "org.opencontainers.image.revision": options.revision,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    files = [("castoff", binary, 0o755), ("sbom.spdx.json", bill, 0o644)]
    return archive(options.name, architecture(binary), USER, files, options.created, labels)


def archive(name, processor, user, contents, created, labels):
    """The files of an archive of an image whose first file is what it runs, and the image's digest."""
    layer = pack(contents)
    platform = {"architecture": processor, "os": "linux"}
    config = as_json(
        {
            **platform,
            "created": created,
            "config": {
                "User": f"{user}:{user}",
                "Entrypoint": ["/" + contents[0][0]],
                "WorkingDir": "/",
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
            "history": [{"created": created, "created_by": "hack/image"}],
        }
    )

    def descriptor(kind, content):
        return {"mediaType": kind, "digest": digest(content), "size": len(content)}

    oci = "application/vnd.oci.image."
    manifest = as_json(
        {
            "schemaVersion": 2,
            "mediaType": oci + "manifest.v1+json",
            "config": descriptor(oci + "config.v1+json", config),
            "layers": [descriptor(oci + "layer.v1.tar", layer)],
            "annotations": labels,
        }
    )
    repository, _, tag = name.rpartition(":")
    full = name if "/" in repository else f"docker.io/library/{name}"
    index = as_json(
        {
            "schemaVersion": 2,
            "mediaType": oci + "index.v1+json",
            "manifests": [
                {
                    **descriptor(oci + "manifest.v1+json", manifest),
                    "platform": platform,
                    "annotations": {"io.containerd.image.name": full, "org.opencontainers.image.ref.name": tag},
                }
            ],
        }
    )
    blobs = sorted((digest(blob), blob) for blob in (config, layer, manifest))
    files = [("oci-layout", as_json({"imageLayoutVersion": "1.0.0"}), 0o644), ("index.json", index, 0o644)]
    files += [("blobs/" + blob_name.replace(":", "/"), blob, 0o644) for blob_name, blob in blobs]
    return files, digest(manifest)


def main():
    """Packs, and says what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("name", "output", "binary", "metadata", "version", "revision"):
        parser.add_argument("--" + option, required=True)
    parser.add_argument("--created", type=int, required=True, help="seconds since 1970, of the source")
    parser.add_argument("--most", type=int, required=True, help="the most bytes that the files may have")
    options = parser.parse_args()
    created = datetime.datetime.fromtimestamp(options.created, datetime.timezone.utc)
    options.created = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    if ":" not in options.name:
        parser.error("--name needs NAME:TAG")
    binary = pathlib.Path(options.binary).read_bytes()
    metadata = json.loads(pathlib.Path(options.metadata).read_text(encoding="utf-8"))
    bill = as_json(bill_of_materials(metadata, options.version, options.created))
    try:
        files, found = image(options, binary, bill)
    except ValueError as error:
        sys.exit(f"hack/image: {error}")
    size = len(binary) + len(bill)
    if size > options.most:
        sys.exit(f"hack/image: {size} bytes, and it may have {options.most}")
    output = pathlib.Path(options.output)
    output.write_bytes(pack(files))
    crates = len(json.loads(bill)["packages"])
    print(f"{options.name}  {found}  {size / 1e6:.1f} MB")
    print(f"{output}: {crates} crates in its SBOM")


if __name__ == "__main__":
    main()

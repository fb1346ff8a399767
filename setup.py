"""Packaging of embed-images; the only list of its dependencies."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
(VERSION,) = re.findall(r'__version__ = "(.+)"', (HERE / "pipeline/__init__.py").read_text())

DEMO = ["scikit-image>=0.25"]  # its wheel bundles the photos of the demo
S3 = ["s3fs>=2025.3"]
AZURE = ["adlfs>=2024.12"]
OPENVINO = ["openvino>=2025.0"]
HEIF = ["pillow-heif>=1.0"]
FAISS = ["faiss-cpu>=1.11"]
SKLEARN = ["scikit-learn>=1.6"]
REPORT = ["matplotlib>=3.10"]
UMAP = ["umap-learn>=0.5.7"]
SIMD = ["cykooz-resizer>=4,<5"]  # another one may round otherwise
CUDA = ["tensorflow[and-cuda]>=2.21,<2.22"]
QDRANT = ["qdrant-client>=1.14"]
DOCS = ["mkdocs-material>=9.6", "mkdocstrings[python]>=0.30"]
CODECS = ["imagecodecs>=2025.8"]  # JPEG XL, and samples of more than 8 bits where Pillow keeps none

setup(
    name="embed-images",
    version=VERSION,
    description="Turns an object store full of images into feature vectors with Apache Beam.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    # 3.10 does not resolve: on it tfx-bsl 1.21 wants protobuf <= 6.32 (through
    # tensorflow-metadata) and apache-beam[gcp] 2.77 wants >= 6.33 (through
    # google-cloud-bigtable). tfx-bsl 1.21 has no wheels for 3.13.
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["pipeline", "pipeline.*", "transforms", "transforms.*"]),
    package_data={
        "pipeline": ["py.typed", "*.pyi", "planning/prices.yaml", "report/*.html", "report/*.css", "report/*.js"],
        "transforms": ["py.typed", "*.pyi"],
    },
    install_requires=[
        "ai-edge-litert>=2.1",
        "aiohttp>=3.12",
        "apache-beam[gcp]>=2.77,<3",
        "backports.strenum<1.3",  # of ai-edge-litert; 1.3 excludes Python 3.11, which uv overlooks
        "fsspec>=2025.3",
        "gcsfs>=2025.3",
        "google-crc32c>=1.6",
        "lazy-loader>=0.4",
        "numpy>=2",
        "orjson>=3.9.7",
        "pillow>=11.3",
        "pyarrow>=18",
        "pydantic>=2.10",
        "pyyaml>=6",
        "rich>=13.9",
        "setuptools<81",  # tensorflow-hub 0.16 imports pkg_resources, which later ones lack
        "tensorflow>=2.21,<2.22",
        "tensorflow-hub>=0.16.1,<0.17",
        "tenacity>=9",
        "tfx-bsl>=1.21,<1.22",
        "typing-extensions>=4.12",
    ],
    extras_require={
        "demo": [*DEMO, *REPORT],
        "openvino": OPENVINO,
        "s3": S3,
        "azure": AZURE,
        "heif": HEIF,
        "jxl": CODECS,
        "deep": CODECS,
        "faiss": FAISS,
        "evaluate": SKLEARN,
        "qdrant": QDRANT,
        "report": REPORT,
        "umap": UMAP,
        "simd": SIMD,
        "cuda": CUDA,
        "dev": [
            *DEMO,
            *S3,
            *AZURE,
            *OPENVINO,
            *HEIF,
            *CODECS,
            *FAISS,
            *SKLEARN,
            *QDRANT,
            *DOCS,
            *REPORT,
            *UMAP,
            *SIMD,
            "datasets>=4.4",
            "duckdb>=1.3",
            "gcp-storage-emulator>=2026.7",
            "hypothesis>=6.100",
            "import-linter>=2.6",
            "lancedb>=0.25",
            "moto[server,s3]>=5.1",
            "mypy>=1.15",
            "playwright>=1.55",  # drives the Chromium of the system
            "psutil>=6",
            "pyte>=0.8",  # a terminal that tells what it shows
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "ruff>=0.11",
            "tensorboard>=2.19",
            "tifffile>=2025.5",  # writes what the decoder is tested with
            "types-PyYAML",
            "types-grpcio",
            "uv>=0.6",
            "webdataset>=1.0",
        ],
    },
    entry_points={"console_scripts": ["embed-images = pipeline.cli:program"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
    ],
)

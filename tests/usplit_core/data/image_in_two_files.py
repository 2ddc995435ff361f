"""An image whose planes lie in two OME-TIFF files, as microscopes write long recordings."""

from pathlib import Path

import numpy as np
import tifffile

FILES = ["cells_0.ome.tif", "cells_1.ome.tif"]
PLANES = np.random.default_rng(0).integers(0, 4000, (4, 24, 32), np.uint16)
_PIXELS = 'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="32" SizeY="24" SizeC="1" SizeZ="1" SizeT="4"'


def metadata_of(identity: str, files: list[str]) -> str:
    """Return OME metadata of four planes, of which each file holds as many."""
    each = 4 // len(files)
    planes = "".join(
        f'<TiffData IFD="{number % each}" FirstT="{number}" FirstC="0" FirstZ="0" PlaneCount="1">'
        f'<UUID FileName="{files[number // each]}">urn:uuid:{files[number // each]}</UUID></TiffData>'
        for number in range(4)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="urn:uuid:{identity}"><Image ID="Image:0"><Pixels {_PIXELS}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
    )


def write_image(folder: Path, compression: str | None = None) -> Path:
    """Write the planes, and return the first file."""
    for number, name in enumerate(FILES):
        with tifffile.TiffWriter(folder / name) as writer:
            for plane, pixels in enumerate(PLANES[2 * number : 2 * number + 2]):
                description = metadata_of(name, FILES) if plane == 0 else None
                writer.write(pixels, description=description, metadata=None, contiguous=False, compression=compression)
    return folder / FILES[0]

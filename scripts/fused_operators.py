#!/usr/bin/env python3
"""Writes src/model/fused.pt: a TorchScript archive that calls two operators of libtorch.

An archive is a ZIP file without compression: source code, and a pickle of the object that has it.
Run it from the root of the project; it needs Python alone, and writes the same bytes each time.
"""

import zipfile

CODE = """class Fused(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  def pack(self: __torch__.Fused,
    weight: Tensor,
    stride: int,
    padding: int,
    input: List[int]) -> Tensor:
    return ops.mkldnn._reorder_convolution_weight(weight, [padding, padding], [stride, stride], [1, 1], 1, input)
  def convolve(self: __torch__.Fused,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    stride: int,
    padding: int,
    activation: str) -> Tensor:
    return ops.mkldnn._convolution_pointwise(x, weight, bias, [padding, padding], [stride, stride], [1, 1], 1, activation, annotate(List[Optional[number]], []), "")
"""

# Pickle protocol 2: an object of the class, with the state {"training": False}.
OBJECT = b"\x80\x02c__torch__\nFused\n)\x81}X\x08\x00\x00\x00training\x89sb."
NO_CONSTANTS = b"\x80\x02)."


def main():
    with zipfile.ZipFile("src/model/fused.pt", "w", zipfile.ZIP_STORED) as archive:
        for name, content in [
            ("data.pkl", OBJECT),
            ("code/__torch__.py", CODE),
            ("constants.pkl", NO_CONSTANTS),
            ("version", "3\n"),
        ]:
            # Without a date of its own each run would write other bytes.
            archive.writestr(zipfile.ZipInfo("fused/" + name), content)


if __name__ == "__main__":
    main()

"""A fitted detector as one file that other runtimes score with, without this project: ONNX, or torch.export.

name      what                                                shape
image     RGB in [0, 1], resized as `image_files.resize` does  float32 (1, 3, size, size)
map       the method's raw anomaly map                         float32 (1, size, size)
score     its raw image score                                  float32 (1,)

Thresholds stay outside the graph, so that they can be moved: thresholds and scale are JSON, in the ONNX file's metadata
"lab" or the archive's extra file "lab.json", see `export_detector.export_metadata`.
"""

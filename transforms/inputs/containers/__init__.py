"""Containers: objects that hold many images. One reader a family: tar, TFRecord, Parquet, zip."""

"""Renders and submits trainings: `python -m tpu_launch --help`.

Outside the wheel, beside `benchmarks`: it ships the checkout it lies in.
"""

"""The same trainings in PyTorch; needs `pip install -e '.[bench]'`."""

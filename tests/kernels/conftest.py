import os

# Triton decides when it is imported whether its interpreter runs the kernels; test_triton.py starts a process for it.
collect_ignore = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["interpreted"]

"""The course's questions, one file each: what is asked, which runs answer it, and how the report shows the answer."""

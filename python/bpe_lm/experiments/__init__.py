"""Experiments: studies of training runs, their figures and reports, and the course's questions."""

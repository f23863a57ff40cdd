"""Counting and encoding by many machines: shards as tasks on Ray, which is imported when it is used."""

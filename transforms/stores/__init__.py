"""Local disks and object stores: names, bytes, and what goes wrong there."""

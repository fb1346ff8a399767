"""What published runs hold: read, put in order, verified; and who works at one."""

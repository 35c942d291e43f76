"""Update algorithms of Ohmlet, one file each."""

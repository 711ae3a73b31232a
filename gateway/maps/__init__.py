"""What lies under the operators' map: the boundary that was imported, files of pictures; and `gateway map`."""

"""What a source is called: addresses with ranges and regions, YouTube ids, and lists that published data sets give."""

"""From graph to loops: contractions, fusion groups and buffers are chosen here, with sizes still symbolic."""

"""Records in, text out: verdict sentences, a terminal table, SVG figures, one HTML page, one Markdown page.

Nothing here computes statistics, opens files of a run or writes anything.
"""

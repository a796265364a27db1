"""One HTML file a report: the frame, the look and the drawing that all pages share."""

"""Everything for one project in one terminal: `semilayer dev`."""

"""The staff's pages of broadcasts. Thin, on the base of `deliveries/admin/`: they call one service each and hold no rules."""

from broadcasts.admin import audiences, broadcasts, origins, running_panel, topics

__all__ = ["audiences", "broadcasts", "origins", "running_panel", "topics"]

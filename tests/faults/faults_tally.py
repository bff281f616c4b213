"""How often a fault was tried, and how often it was survived."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Attempts at a fault, and why some of them were lost."""

    fault: str
    attempts: int = 0
    lost: list[str] = field(default_factory=list)

    def count(self, description: str, problems: list[str]) -> None:
        """One attempt; it was survived when there is no problem."""
        self.attempts += 1
        if problems:
            self.lost.append("\n  ".join([f"{description}:", *problems]))

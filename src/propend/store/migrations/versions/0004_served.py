"""Which run of an instance is served is found without looking at all of its runs.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs of an instance by state, in the order in which they ended."""
    op.create_index("runs_by_end", "runs", ["instance_id", "state", "finished_at"])


def downgrade() -> None:
    """All of them are looked at again."""
    op.drop_index("runs_by_end", "runs")

"""How many members each segment had by each run, who joined and who left.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The table, empty: runs of before are made up for as far as their segments are looked at."""
    op.create_table(
        "memberships",
        sa.Column("segment_id", sa.Integer, sa.ForeignKey("segments.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("run_id", sa.String(40), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("where", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("members", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Integer) for name in ("joined", "left")),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("expected", "expected_low", "expected_high")),
    )


def downgrade() -> None:
    """Nothing of it; files of members stay in the folders of runs until these are removed."""
    op.drop_table("memberships")

"""Places that scores are pushed to, and every push.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Both tables, empty."""
    op.create_table(
        "destinations",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("instance_id", sa.String(80), sa.ForeignKey("instances.id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("segment_id", sa.Integer),
        sa.Column("kind", sa.String(60), nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
        sa.Column("changed_by", sa.String(200), nullable=False),
        sa.UniqueConstraint("instance_id", "name"),
    )
    op.create_table(
        "pushes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("destination_id", sa.Integer, sa.ForeignKey("destinations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("run_id", sa.String(40), nullable=False),
        sa.Column("what", sa.String(10), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        *(sa.Column(name, sa.DateTime) for name in ("due_at", "made_at")),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("asked_at", sa.DateTime, nullable=False),
        *(sa.Column(name, sa.DateTime) for name in ("started_at", "finished_at")),
        *(sa.Column(name, sa.Integer) for name in ("rows", "added", "updated", "retracted")),
        *(sa.Column(name, sa.JSON) for name in ("error", "facts", "progress")),
    )
    op.create_index("ix_pushes_destination_id", "pushes", ["destination_id"])
    op.create_index("ix_pushes_state", "pushes", ["state"])


def downgrade() -> None:
    """Neither; what was pushed stays where it is."""
    op.drop_table("pushes")
    op.drop_table("destinations")

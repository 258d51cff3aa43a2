"""People who are to be forgotten: whether something of them is still to be removed.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Those there are have been removed already."""
    with op.batch_alter_table("forgotten") as table:
        table.add_column(sa.Column("pending", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Forget which are pending."""
    with op.batch_alter_table("forgotten") as table:
        table.drop_column("pending")

"""Counters: rows of the users table that are checked and incremented in one conditional write."""

from __future__ import annotations

from typing import Any

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import DoesNotExist, UpdateError
from pynamodb.models import Model

from records.aws import FromSettings, TableMeta, condition_failed, faults, log_fault
from records.errors import Unavailable
from records.users import User


class Counter(Model):
    """A row that counts. last: the name of the last change, so that a repeated call does not make it twice."""

    class Meta(TableMeta):
        table_name = FromSettings("users_table")

    pk = UnicodeAttribute(hash_key=True)
    last = UnicodeAttribute(null=True)
    expires_at = NumberAttribute(null=True)

    @classmethod
    def _get_connection(cls) -> Any:
        return User._get_connection()  # another client would cost 50 ms of a cold start

    def change(self, name: str, actions: list[Any], condition: Any = None) -> bool:
        """Make the change of this name if the condition holds, and only once if the call is repeated.

        Returns whether it is made; either way this row holds what the table holds. Raises Unavailable.
        """
        new = Counter.last.does_not_exist() | (Counter.last != name)
        try:
            self.update(
                actions=[*actions, Counter.last.set(name)], condition=new if condition is None else new & condition
            )
            return True
        except UpdateError as error:
            if not condition_failed(error):
                log_fault(error)
            with faults():
                try:
                    self.refresh(consistent_read=True)
                except DoesNotExist:
                    self.last = None
            if self.last == name:
                return True  # applied, though the response was lost; or by another attempt at the same
            if not condition_failed(error):
                raise Unavailable from error
            return False

"""Owns what happens on SIGHUP: what may change without a restart is read again."""

import logging
from collections.abc import Callable

from core.errors import ConfigurationError
from core.settings import Settings

logger = logging.getLogger(__name__)


def reloading(
    read: Callable[[], Settings], adopt: Callable[[Settings], None]
) -> Callable[[], None]:
    """A call that reads the settings and has them adopted. Where they are not right, those before
    stay in force, and one line says why; what comes of the rest is told by who adopts them.
    """

    def reload() -> None:
        try:
            settings = read()
        except ConfigurationError as error:
            logger.error("keys and limits stay as they are: %s", error)
        else:
            adopt(settings)

    return reload

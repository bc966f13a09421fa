"""The program `container`: an image that is run once, with its input in /var/input."""

from __future__ import annotations

from typing import ClassVar

from treadle import Attempt, Command, Mount, Program, Service, write_inputs
from treadle_containers.images import check_source
from treadle_containers.options import ImageOptions
from treadle_containers.spec import INPUT


class Container(Program):
    """Runs the service's image, or `command` in it; a runtime of a container engine executes it.

    The input is in data.json and params.json of /var/input (Runtime Interface, "Custom Docker Container").
    Results are found by the service's output parser.
    """

    name: ClassVar[str] = "container"
    image: ClassVar[bool] = True
    options = ImageOptions

    def check(self, service: Service) -> None:
        """Raise ServiceError if the service has no source for its image."""
        check_source(service)

    async def command(self, attempt: Attempt) -> Command:
        """Write the input files and return what is run in the image."""
        await write_inputs(attempt)
        options = attempt.service.options_of(ImageOptions, self.name)
        return Command(
            argv=options.command,
            environment=attempt.service.environment,
            reads=(Mount(attempt.input, INPUT),),
            image=options.image,
        )

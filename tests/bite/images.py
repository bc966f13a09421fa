"""What keeps the promise of images, and of what a program finds in its container."""

from __future__ import annotations

from tests.bite.change import Change, without

_CONTAINERS = "plugins/treadle_containers"
_TESTS = "tests/unit/plugins"
_PARTS = f"{_TESTS}/test_container_parts.py"
_CREATION = f"{_TESTS}/containers/test_container_creation.py"
_PROGRAMS = "tests/acceptance/test_container_programs.py"
_IMAGES = "tests/acceptance/test_container_images.py"

CHANGES = (
    Change(
        "the init of a Docker container",
        "plugins/treadle_docker/config.py",
        '"Init": spec.init,',
        '"Init": False,',
        _PROGRAMS,
        "cancelled_at_once and docker",
    ),
    Change(
        "the init of a Podman container",
        "plugins/treadle_podman/options.py",
        '"init": spec.init,',
        '"init": False,',
        _PROGRAMS,
        "cancelled_at_once and podman",
    ),
    Change(
        "an engine that has no init",
        f"{_CONTAINERS}/creation.py",
        "        except NoInit as error:\n",
        "        except ZeroDivisionError as error:\n",
        _CREATION,
        "without_an_init",
    ),
    Change(
        "the exec of a Docker container's /tmp",
        "plugins/treadle_docker/config.py",
        "rw,exec,nosuid",
        "rw,nosuid",
        _PROGRAMS,
        "written_to_tmp and docker",
    ),
    Change(
        "the size of a Podman container's /dev/shm",
        "plugins/treadle_podman/options.py",
        '        "shm_size": limits.shm_bytes,\n',
        "",
        _PROGRAMS,
        "dev_shm and podman",
    ),
    Change(
        "the lines that Python prints at once",
        f"{_CONTAINERS}/creation.py",
        "{**spec.unless_set(info.variables), **command.environment}",
        "command.environment",
        _PROGRAMS,
        "prints_at_once and docker",
    ),
    Change(
        "the uid of an image's user",
        f"{_CONTAINERS}/users.py",
        "_uid(_name(image.user), passwd) == 0",
        'image.user == "root"',
        _PROGRAMS,
        "never_root and docker",
    ),
    Change(
        "a container of root that was never started",
        f"{_CONTAINERS}/creation.py",
        " or found.user == container.user:",
        " or found:",
        _CREATION,
        "crash_left_unstarted",
    ),
    Change(
        "the registry that is not asked",
        f"{_CONTAINERS}/obtaining.py",
        "    if (lack := await lacking(engine, service)) is not None:\n        raise NoSuchImage(lack)\n",
        "",
        _IMAGES,
        "no_registry and docker",
    ),
    Change(
        "what a .dockerignore leaves out",
        f"{_CONTAINERS}/context.py",
        "if (not ignored or inside + name == self._dockerfile) and",
        "if",
        _PARTS,
        "ignored",
    ),
    without(
        "the .dockerignore that an engine gets",
        f"{_CONTAINERS}/context.py",
        "            self._add_ignore(tar)\n",
        _PARTS,
        "told_to_ignore",
    ),
    Change(
        "the archive that has two images",
        f"{_CONTAINERS}/archive.py",
        "    if len(images) != 1:\n",
        "    if not images:\n",
        _IMAGES,
        "two_images and docker",
    ),
    Change(
        "the present image of a service",
        f"{_CONTAINERS}/images.py",
        "if name != current and (",
        "if (",
        _IMAGES,
        "docker and (earlier_images or present_image)",
    ),
    Change(
        "the image that a container uses",
        f"{_CONTAINERS}/images.py",
        '            log.info("image %s stays: %s", name, error)\n            return False\n',
        "            raise error\n",
        _IMAGES,
        "container_uses and docker",
    ),
    Change(
        "the init that can't execute a program",
        f"{_CONTAINERS}/runtime.py",
        "        if limits.init and (error := ",
        "        if False and (error := ",
        _IMAGES,
        "with_and_without_an_init and docker",
    ),
    Change(
        "the SIGKILL of a program without a memory limit",
        f"{_CONTAINERS}/termination.py",
        "state.code == _SIGKILL_CODE and limits.memory is not None and",
        "state.code == _SIGKILL_CODE and",
        _PROGRAMS,
        "exit_code and docker",
    ),
    Change(
        "the end of stdout where stderr is empty",
        "engine/treadle/dispatch/outcome.py",
        " or tail(attempt.stdout, _TAIL)",
        "",
        "tests/unit/dispatch/test_outcome.py",
        "without_a_word",
    ),
)

"""What other plugins offer inline, with an authentication or with a binding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from stonechat.errors import StreamError
from stonechat.host import Host
from stonechat.session import InlineFeature, UnboundStream
from stonechat.stanza import Element

Target = TypeVar("Target")


class InlineFeatures(Generic[Target]):
    """The features that one hook collects, gathered anew when plugins come or go."""

    def __init__(self, host: Host, hook: str) -> None:
        self._host = host
        self._hook = hook
        self._version: int | None = None
        self._features: tuple[InlineFeature[Target], ...] = ()

    def offered(self, stream: UnboundStream) -> Iterator[tuple[InlineFeature[Target], Element]]:
        """The features that a stream is offered, each with its announcement."""
        for feature in self._collected():
            try:
                announcement = feature.offer(stream)
            # Another plugin's fault keeps nobody from logging in.
            except Exception as error:  # noqa: BLE001
                self._log(feature, error)
                continue
            if announcement is not None:
                yield feature, announcement

    def handle(self, target: Target, request: Element) -> list[Element]:
        """Do what is asked for in the children of `request`; what to answer to it."""
        answers = []
        for feature, element in self._asked_for(request):
            try:
                answer = feature.handle(target, element)
            except StreamError:
                raise
            # Nor does it take more than its feature.
            except Exception as error:  # noqa: BLE001
                self._log(feature, error)
                continue
            if answer is not None:
                answers.append(answer)
        return answers

    def _asked_for(self, request: Element) -> Iterator[tuple[InlineFeature[Target], Element]]:
        features = {(f.namespace, f.name): f for f in self._collected()}
        for child in request.elements:
            # The first of a kind only, and what nobody knows is passed over.
            feature = features.pop((child.namespace, child.name), None)
            if feature is not None:
                yield feature, child
        for feature in features.values():
            if feature.always:
                yield feature, Element(feature.namespace, feature.name).freeze()

    def _collected(self) -> tuple[InlineFeature[Target], ...]:
        version = self._host.plugins_version
        if version != self._version:
            self._features = tuple(
                feature for answer in self._host.collect(self._hook) for feature in answer
            )
            self._version = version
        return self._features

    def _log(self, feature: InlineFeature[Target], error: Exception) -> None:
        self._host.log.error(
            "inline feature failed",
            namespace=feature.namespace,
            feature=feature.name,
            exc_info=error,
        )

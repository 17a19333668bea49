"""The case workflow as a LangGraph graph. Not here: what each step does (`steps`), what flows between them (`state`)."""

from __future__ import annotations

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from mnemic import MemoryManager

from ..model import Model
from ..offline import offline_model
from .state import CaseMessage, CaseState
from .steps import CaseSteps

CaseWorkflow = CompiledStateGraph[CaseState, None, CaseMessage, CaseState]


def build_case_workflow(
    memory: MemoryManager, model: Model | None = None, *, checkpointer: BaseCheckpointSaver[str] | None = None
) -> CaseWorkflow:
    """Log event → reflect → retrieve → update slots, compiled: ``await workflow.ainvoke(new_message(…))``.

    ``memory`` is the memory of one client. Without ``model`` plain rules stand in for one. With a ``checkpointer`` a run that failed
    goes on at the step that failed.
    """
    steps = CaseSteps(memory, model or offline_model())
    graph = StateGraph(CaseState, input_schema=CaseMessage)
    graph.add_node("log_event", steps.log_event)
    graph.add_node("reflect", steps.reflect)
    graph.add_node("retrieve", steps.retrieve)
    graph.add_node("update_slots", steps.update_slots)
    graph.add_edge(START, "log_event")
    graph.add_edge("log_event", "reflect")
    graph.add_edge("reflect", "retrieve")
    graph.add_edge("retrieve", "update_slots")
    graph.add_edge("update_slots", END)
    return graph.compile(checkpointer=checkpointer)

"""The tasks that several pipelines share, defined inside whichever pipeline calls them."""

from types import SimpleNamespace
from typing import NamedTuple

from kfp import dsl

from headway.components import (
    evaluate_model,
    ingest_data,
    register_model,
    resolve_champion,
    split_data,
    train_model,
    tune_model,
    validate_data,
)
from headway.pipelines.placement import place


class Learned(NamedTuple):
    """The tasks that a longer pipeline goes on from."""

    evaluate: dsl.PipelineTask
    register: dsl.PipelineTask


def learn(given: SimpleNamespace) -> Learned:
    """The tasks from ingestion to registration, inside the pipeline that is being defined."""
    ingest = place(ingest_data(source=given.source, seed=given.seed, state_uri=given.state_uri))
    data = ingest.outputs["data"]
    validate = place(
        validate_data(
            data=data,
            contract=given.contract,
            checks=given.checks,
            model_name=given.model_name,
            state_uri=given.state_uri,
        )
    )
    parts = place(split_data(data=data, split=given.split, seed=given.seed, state_uri=given.state_uri))
    champion = place(
        resolve_champion(
            model_name=given.model_name,
            environment=given.environment,
            tracking_uri=given.tracking_uri,
            state_uri=given.state_uri,
        )
    )
    learning = {
        "train_data": parts.outputs["train_data"],
        "schema": validate.outputs["schema"],
        "estimator": given.estimator,
        "params": given.params,
        "seed": given.seed,
        "state_uri": given.state_uri,
    }
    tune = place(tune_model(search_space=given.search_space, study=given.study, engine=given.tuning_engine, **learning))
    train = place(train_model(class_weight=given.class_weight, tuning=tune.outputs["tuning"], **learning))
    evaluate = place(
        evaluate_model(
            model=train.outputs["model"],
            data=parts.outputs["test_data"],
            champion=champion.outputs["champion"],
            gates=given.gates,
            evaluation=given.evaluation,
            model_name=given.model_name,
            seed=given.seed,
            state_uri=given.state_uri,
        )
    )
    register = place(
        register_model(
            model=train.outputs["model"],
            verdict=evaluate.outputs["verdict"],
            model_name=given.model_name,
            environment=given.environment,
            tracking_uri=given.tracking_uri,
            intended_use=given.intended_use,
            state_uri=given.state_uri,
        )
    )
    return Learned(evaluate, register)

-- Beside the database "modelyard", which holds our journal and Optuna's studies.
CREATE DATABASE mlflow;
CREATE DATABASE prefect;

#pragma once

void register_pool_benchmarks();

"""The standard processes: names, parameters, and which are experimental (openEO Processes 2.0.0-rc.2), and profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

#: One process per line with its parameters; `*` experimental, `?` optional, indented lines continue.
_STANDARD = """
absolute x
add x y
add_dimension data name label type?
aggregate_spatial data geometries reducer target_dimension? context?
*aggregate_spatial_window data reducer size boundary? align? context?
aggregate_temporal data intervals reducer labels? dimension? context?
aggregate_temporal_period data period reducer dimension? context?
all data ignore_nodata?
and x y
anomaly data normals period
any data ignore_nodata?
apply data process context?
apply_dimension data process dimension target_dimension? context?
apply_kernel data kernel factor? border? replace_invalid?
apply_neighborhood data process size overlap? context?
apply_polygon data geometries process mask_value? context?
arccos x
arcosh x
arcsin x
arctan x
arctan2 y x
*ard_normalized_radar_backscatter data elevation_model? contributing_area? ellipsoid_incidence_angle? noise_removal?
  options?
*ard_surface_reflectance data atmospheric_correction_method cloud_detection_method elevation_model?
  atmospheric_correction_options? cloud_detection_options?
array_append data value label?
array_apply data process context?
array_concat array1 array2
array_contains data value
array_create data? repeat?
*array_create_labeled data labels
array_element data index? label? return_nodata?
array_filter data condition context?
array_find data value reverse?
*array_find_label data label
array_interpolate_linear data
array_labels data
*array_modify data values index length?
arsinh x
artanh x
*atmospheric_correction data method elevation_model? options?
between x min max exclude_max?
ceil x
climatological_normal data period climatology_period?
clip x min max
*cloud_detection data method options?
constant x
cos x
cosh x
count data condition? context?
create_data_cube
*cummax data ignore_nodata?
*cummin data ignore_nodata?
*cumproduct data ignore_nodata?
*cumsum data ignore_nodata?
date_between x min max exclude_max?
*date_difference date1 date2 unit?
date_shift date value unit
dimension_labels data dimension
divide x y
drop_dimension data name
e
eq x y delta? case_sensitive?
exp p
*export_collection data collection
*export_workspace data workspace merge?
extrema data ignore_nodata?
filter_bands data bands? wavelengths?
filter_bbox data extent
filter_labels data condition dimension context?
filter_spatial data geometries
filter_temporal data extent dimension?
*filter_vector data geometries relation?
first data ignore_nodata?
*fit_curve data parameters function ignore_nodata?
*flatten_dimensions data dimensions target_dimension label_separator?
floor x
gt x y
gte x y
if value accept reject?
inspect data message? code? level?
int x
*is_infinite x
is_nan x
is_nodata x
is_valid x
last data ignore_nodata?
linear_scale_range x inputMin inputMax outputMin? outputMax?
ln x
load_collection id spatial_extent temporal_extent bands? properties?
*load_geojson data properties?
*load_stac url spatial_extent? temporal_extent? bands? properties?
*load_uploaded_files paths format options?
*load_url url format options?
log x base
lt x y
lte x y
mask data mask replacement?
mask_polygon data mask replacement? inside?
max data ignore_nodata?
mean data ignore_nodata?
median data ignore_nodata?
merge_cubes cube1 cube2 overlap_resolver? context?
min data ignore_nodata?
mod x y
multiply x y
*nan
ndvi data nir? red? target_band?
neq x y delta? case_sensitive?
normalized_difference x y
not x
or x y
order data asc? nodata?
pi
power base p
*predict_curve parameters function dimension labels?
product data ignore_nodata?
quantiles data probabilities? q? ignore_nodata?
rearrange data order
reduce_dimension data reducer dimension context?
*reduce_spatial data reducer context?
rename_dimension data source target
rename_labels data dimension target source?
resample_cube_spatial data target method?
resample_cube_temporal data target dimension? valid_within?
resample_spatial data resolution? projection? method? align?
round x p?
*run_ogcapi data id context?
*run_ogcapi_externally data url id context?
run_udf data udf runtime version? context?
*run_udf_externally data url context?
*sar_backscatter data coefficient? elevation_model? mask? contributing_area? local_incidence_angle?
  ellipsoid_incidence_angle? noise_removal? options?
save_result data format options?
sd data ignore_nodata?
sgn x
sin x
sinh x
sort data asc? nodata?
sqrt x
*stac_modify data changes
subtract x y
sum data ignore_nodata?
tan x
tanh x
text_begins data pattern case_sensitive?
text_concat data separator?
text_contains data pattern case_sensitive?
text_ends data pattern case_sensitive?
*text_find data pattern case_sensitive?
trim_cube data
*unflatten_dimension data dimension target_dimensions label_separator?
variance data ignore_nodata?
*vector_buffer geometries distance
*vector_reproject data projection dimension?
*vector_to_random_points data geometry_count? total_count? group? seed?
*vector_to_regular_points data distance group?
xor x y
"""


def _ids(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: openEO profiles L1, L2 and L2A together.
RASTER = _ids(
    """
    absolute add add_dimension aggregate_spatial aggregate_temporal aggregate_temporal_period all and any apply
    apply_dimension apply_kernel arccos arcosh arcsin arctan arctan2 array_concat array_create array_element
    array_find arsinh artanh between ceil clip constant cos cosh count dimension_labels divide drop_dimension e eq
    exp extrema filter_bands filter_bbox filter_spatial filter_temporal first floor gt gte if inspect int is_nan
    is_nodata is_valid last linear_scale_range ln load_collection log lt lte mask mask_polygon max mean median min
    mod multiply nan neq normalized_difference not or pi power product quantiles reduce_dimension rename_dimension
    rename_labels resample_spatial round save_result sd sgn sin sinh sort sqrt subtract sum tan tanh variance xor
    """
)
#: What the federation's profile L2P adds.
L2P = frozenset({"array_contains", "merge_cubes", "ndvi", "resample_cube_spatial"})
#: Experimental, but required all the same.
EXPERIMENTAL = frozenset({"inspect", "nan"})
#: openEO profile L3 with what the federation's profile L3P adds.
L3P = _ids(
    """
    aggregate_spatial_window apply_neighborhood array_append array_apply array_contains array_create_labeled
    array_filter array_find_label array_interpolate_linear array_labels array_modify cloud_detection
    create_data_cube cummax cummin cumproduct cumsum filter_labels flatten_dimensions is_infinite load_geojson
    load_stac merge_cubes ndvi order rearrange reduce_spatial resample_cube_spatial resample_cube_temporal trim_cube
    unflatten_dimension vector_to_random_points vector_to_regular_points ard_surface_reflectance run_udf
    """
)
L4P = frozenset({"apply_polygon", "atmospheric_correction", "load_uploaded_files", "load_url", "sar_backscatter"})
ML = frozenset({"fit_curve", "fit_regr_random_forest", "load_ml_model", "predict_curve", "save_ml_model"})
#: Names of earlier versions that count as well.
FORMER = {"load_stac": "load_result", "create_data_cube": "create_raster_cube", "apply_polygon": "chunk_polygon"}


@dataclass(frozen=True)
class Signature:
    """What the standard says about a process."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    is_experimental: bool


@cache
def standard() -> Mapping[str, Signature]:
    """The standard processes by id."""
    found = {}
    for line in _STANDARD.strip().replace("\n  ", " ").splitlines():
        id, *parameters = line.split()
        found[id.removeprefix("*")] = Signature(
            tuple(name for name in parameters if not name.endswith("?")),
            tuple(name[:-1] for name in parameters if name.endswith("?")),
            id.startswith("*"),
        )
    return found
